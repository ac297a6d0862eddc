# gRefCOCO at 512 px: expressions may name several things, or nothing.
_base_ = './refcoco_512x512.py'
trained_on = (
    'gRefCOCO: photographs of COCO, also expressions of several and of '
    'no objects'
)
dataset = dict(type='GRefCOCODataset', name='grefcoco')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
# GRES's convention: a mask of fewer than 50 pixels says "nothing".
val_evaluator = dict(generalized=True, min_pixels=50)
test_evaluator = val_evaluator
