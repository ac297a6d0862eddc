# RefCOCO+, split by UNC, at 512 px.
_base_ = './refcoco_512x512.py'
trained_on = 'RefCOCO+: photographs of COCO'
dataset = dict(name='refcoco+', split_by='unc')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
