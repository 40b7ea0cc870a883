# The HR teacher of the recognition demo: the real experiment, shrunk until two cores train it in minutes.
_base_ = '../recognition/arcface_ir50-cbam_casia.py'
data_root = 'data/toy_faces/'

# A third of the depth, an eighth of the width.
model = dict(
    backbone=dict(depth=18, base_channels=8, embedding_dims=128, cbam=dict(reduction=4)),
    head=dict(num_classes=160, in_channels=128),
)
train_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root, ann_file='verify.bin'))
test_dataloader = val_dataloader

# A short schedule.
train_cfg = dict(max_epochs=8)
_base_.param_scheduler[0].milestones = [4, 6, 7]
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(logger=dict(interval=20))
