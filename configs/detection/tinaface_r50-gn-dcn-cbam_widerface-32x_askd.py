# A-SKD: row 32x of table 5 with distillation.
_base_ = './tinaface_r50-gn-dcn-cbam_widerface-16x_askd.py'
_base_.train_dataloader.dataset.pipeline[-1].ratio = 32
_base_.val_dataloader.dataset.pipeline[-1].ratio = 32
_base_.test_dataloader.dataset.pipeline[-1].ratio = 32
