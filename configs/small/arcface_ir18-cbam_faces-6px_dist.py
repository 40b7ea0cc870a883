# DIST: how the class probabilities correlate. The tap puts out cosines, and the head's logits are 32 times that.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(loss_relation=dict(type='ClassRelationLoss', tap='head.norm_product', scale=32.0))
