# TinaFace as it is in vedadet, without attention: to test its checkpoints after `askd convert vedadet`.
_base_ = './tinaface_r50-bn-cbam_widerface.py'
model = dict(backbone=dict(plugins=None))
