# RefCOCOg, split by UMD, at 512 px.
_base_ = './refcoco_512x512.py'
trained_on = 'RefCOCOg: photographs of COCO'
dataset = dict(name='refcocog', split_by='umd')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
