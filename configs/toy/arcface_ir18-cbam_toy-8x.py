# LR base of the recognition demo.
_base_ = './arcface_ir18-cbam_toy.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 8
_base_.val_dataloader.dataset.pipeline[-1].ratio = 8
_base_.test_dataloader.dataset.pipeline[-1].ratio = 8
