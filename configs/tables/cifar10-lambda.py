# Which maps, and which lambda: A-SKD alone on CIFAR-10 at 4x.
title = 'CIFAR-10 at 4x: A-SKD by kind of maps and lambda, accuracy'
columns = {'ACC (%)': 'accuracy/top1'}
_lr = 'askd_mmdet::classification/resnet18-cbam_cifar10-4x'
_loss = 'custom_hooks.4.losses.loss_attention'
rows = [
    dict(resolution='4x', method='Base', config=f'{_lr}.py'),
    *(
        dict(
            resolution='4x',
            method=f'{maps}, lambda {weight:g}',
            config=f'{_lr}_askd.py',
            name=f'askd-{maps}-{weight:g}',
            options={f'{_loss}.maps': maps, f'{_loss}.weight': weight},
        )
        for maps, weights in (('raw', (1.0, 5.0, 25.0)), ('sigmoid', (5.0, 25.0)))
        for weight in weights
    ),
]
