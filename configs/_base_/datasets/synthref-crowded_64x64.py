# Scenes of 3 to 6 look-alikes, made with
#   python tools/dataset_converters/synthref.py data/synthref-crowded \
#       --level crowded --train 6000
_base_ = './synthref_64x64.py'
data_root = 'data/synthref-crowded/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
