# Attention transfer against A-SKD, on AgeDB-30 at 8x.
title = 'Table 3: AT and A-SKD on AgeDB-30 at 8x, IR-50-CBAM trained on CASIA-WebFace'
columns = {'Ver-ACC (%)': 'verification/accuracy'}
base = 'AT'
hr = 'askd_mmdet::recognition/arcface_ir50-cbam_casia.py'
rows = [
    dict(resolution='8x', method=method, config=hr.replace('.py', f'-8x_{ending}.py'), paper=(figure,))
    for method, ending, figure in (
        ('AT', 'at', 77.40),
        ('AT*', 'at-cosine', 77.72),
        ('A-SKD, spatial', 'askd-spatial', 78.66),
        ('A-SKD', 'askd', 79.00),
    )
]
