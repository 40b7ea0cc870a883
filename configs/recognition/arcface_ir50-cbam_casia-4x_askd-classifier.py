# A-SKD by a student that keeps the teacher's class weights, so that its embeddings go where the teacher's went.
_base_ = './arcface_ir50-cbam_casia-4x_askd.py'
_base_.custom_hooks[-1].inherit = ['head.norm_product']
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head.norm_product': dict(lr_mult=0.0, decay_mult=0.0)}))
