# DIST: how the class probabilities correlate. The tap puts out cosines, and the head's logits are 32 times that: 1/32
# is the paper's temperature of 1, and the weight takes back its square in the loss.
_base_ = './arcface_ir18-cbam_faces-6px_askd.py'
_base_.custom_hooks[-1].losses = dict(
    loss_relation=dict(type='ClassRelationLoss', tap='head.norm_product', temperature=1 / 32, weight=32.0**2)
)
