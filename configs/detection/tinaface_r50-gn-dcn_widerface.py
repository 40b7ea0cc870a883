# vedadet's stronger variant, without attention.
_base_ = './tinaface_r50-gn-dcn-cbam_widerface.py'
model = dict(backbone=dict(plugins=None))
