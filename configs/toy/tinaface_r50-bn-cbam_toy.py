# The HR teacher of the demo: the real experiment, shrunk until two cores train it in minutes.
_base_ = '../detection/tinaface_r50-bn-cbam_widerface.py'
data_root = 'data/toy_wider_face/'

# A quarter of the width, four of six levels, half the head.
model = dict(
    backbone=dict(base_channels=16, init_cfg=None),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        anchor_generator=dict(strides=[4, 8, 16, 32]),
    ),
    test_cfg=dict(min_face_height=4, nms_pre=500, max_per_img=100),
)
_base_.model.backbone.plugins[0].cfg.reduction = 4
_base_.model.neck[0].update(in_channels=[64, 128, 256, 512], out_channels=64, num_outs=4)
_base_.model.neck[1].channels = 64

# Pictures of 160x160, crops of 128x128.
_base_.train_dataloader.dataset.pipeline[-1].transforms[0].scales = (0.6, 0.8, 1.0)
_base_.train_dataloader.dataset.pipeline[-1].transforms[3].scale = (128, 128)
_base_.val_dataloader.dataset.pipeline[-1].transforms[0].scale = (160, 160)
_base_.test_dataloader.dataset.pipeline[-1].transforms[0].scale = (160, 160)
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(data_root=data_root))
val_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ground_truth=f'{data_root}eval_tools/ground_truth')
test_evaluator = val_evaluator

# One cosine period.
train_cfg = dict(max_epochs=20, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=0.02), clip_grad=dict(max_norm=10))
_base_.param_scheduler[0].update(periods=[20], restart_weights=[1])
_base_.param_scheduler[1].end = 50
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(logger=dict(interval=10))
