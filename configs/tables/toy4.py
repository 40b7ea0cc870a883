# Table 4 on toy pictures: the same rows, each as different from the toy's HR network as the real one is from its own.
_base_ = './table4.py'
title = 'Table 4 on toy pictures: a test of the command, no result'
toy = 'askd_mmdet::toy/resnet18-cbam_toy.py'
data = 'pictures'
options = {'train_cfg.val_begin': 1000}  # tested at the end alone
