# The HR teacher of the recognition demo: the real experiment, shrunk until two cores train it in minutes.
_base_ = '../recognition/arcface_ir50-cbam_casia.py'
data_root = 'data/toy_faces/'

# A third of the depth, an eighth of the width.
model = dict(
    backbone=dict(depth=18, base_channels=8, embedding_dims=128, cbam=dict(reduction=4)),
    # At the full margin of 0.5 so small a network may settle for embeddings opposite to all classes: beyond the head's
    # threshold a margin costs less than in the middle.
    head=dict(num_classes=160, in_channels=128, margins=0.2),
)
train_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root, ann_file='verify.bin'))
test_dataloader = val_dataloader

# A short schedule at a rate from which a small network learns at once.
optim_wrapper = dict(optimizer=dict(lr=0.03))
train_cfg = dict(max_epochs=8)
_base_.param_scheduler[0].milestones = [6, 7]
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(logger=dict(interval=20))
