# TinaFace's stronger variant: group norm everywhere, deformable convolutions in stages 3 and 4.
_base_ = './tinaface_r50-bn-cbam_widerface.py'
norm_cfg = dict(type='GN', num_groups=32, requires_grad=True)
model = dict(
    backbone=dict(
        type='ZeroInitResNet',  # the file of ImageNet weights has neither these norms nor offsets
        norm_cfg=norm_cfg,
        dcn=dict(type='TorchvisionDCN', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, False, True, True),
    ),
    bbox_head=dict(norm_cfg=norm_cfg),
)
_base_.model.neck[0].norm_cfg = norm_cfg
_base_.model.neck[1].norm_cfg = norm_cfg
