# RefCLEF (ReferIt), split by UNC, at 512 px.
_base_ = './refcoco_512x512.py'
trained_on = 'RefClef (ReferIt): photographs of IAPR TC-12'
dataset = dict(name='refclef', split_by='unc')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
