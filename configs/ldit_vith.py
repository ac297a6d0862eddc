# L-DIT on SAM ViT-H: tools/dist_train.sh configs/ldit_vith.py 8
_base_ = './dit/ldit_sam-vit-h_8xb8-40e_refcoco-512x512.py'
