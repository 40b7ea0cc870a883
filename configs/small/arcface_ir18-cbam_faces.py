# HR recognition of real faces for two cores: 10,777 pictures of 602 people at 32x32, verified on LFW's official pairs,
# nobody of whom is among those people.
_base_ = '../recognition/arcface_ir50-cbam_people.py'
data_root = 'data/faces/'

# A third of the depth and a quarter of the width. So small a network does not bear the full margin of 0.5.
model = dict(
    backbone=dict(depth=18, base_channels=16, input_size=32, embedding_dims=256, cbam=dict(reduction=8)),
    head=dict(num_classes=602, in_channels=256, margins=0.3),
)
for dataloader in (_base_.train_dataloader, _base_.val_dataloader, _base_.test_dataloader):
    dataloader.dataset.data_root = data_root
    dataloader.dataset.pipeline[1].size = 32
    dataloader.num_workers = 1
del dataloader
train_dataloader = dict(batch_size=64)
val_dataloader = dict(dataset=dict(ann_file='lfw_pairs.txt', data_prefix='lfw'))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=12)
_base_.param_scheduler[0].milestones = [7, 10]
