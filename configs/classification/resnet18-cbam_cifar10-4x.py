# LR base: 4x without distillation.
_base_ = './resnet18-cbam_cifar10.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 4
_base_.val_dataloader.dataset.pipeline[-1].ratio = 4
_base_.test_dataloader.dataset.pipeline[-1].ratio = 4
