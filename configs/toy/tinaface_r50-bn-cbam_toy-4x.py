# LR base of the demo, at 4x: the pictures are a quarter of the real ones' width, and so is the ratio of table 5.
_base_ = './tinaface_r50-bn-cbam_toy.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 4
_base_.val_dataloader.dataset.pipeline[-1].ratio = 4
_base_.test_dataloader.dataset.pipeline[-1].ratio = 4
