# RKD, with the teacher's class probabilities. 25 and 50 are its authors' weights for classification.
_base_ = './resnet18-cbam_cifar10-4x_kd.py'
_base_.custom_hooks[-1].losses.loss_relation = dict(type='RelationLoss', distances=25.0, angles=50.0, weight=1.0)
