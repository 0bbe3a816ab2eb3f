"""The node. In ComfyUI's conventions: IMAGE is (B, H, W, 3) in [0, 1], MASK (B, H, W) or (H, W), 1 where it acts."""

import warnings

import torch
import torch.nn.functional as F

import huenet
from huenet.methods.turn import KEEP
from huenet.transfer.methods import METHODS


class HuenetTransfer:
    """Paints images with the colours of others."""

    CATEGORY = "image/color"
    DESCRIPTION = (
        "Paints images with the colours of a target: hues turn, light stays. All frames of a batch in one pass."
    )
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "transfer"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802 - ComfyUI's name
        def number(default, most, tooltip, least=0.0):
            step = least or 0.05
            return ("FLOAT", {"default": default, "min": least, "max": most, "step": step, "tooltip": tooltip})

        closeness = METHODS["huenet"].options()["closeness"]
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "What to recolour."}),
                "target": ("IMAGE", {"tooltip": "Whose colours to take: one image for all, or one each."}),
                "method": (list(METHODS), {"default": "huenet", "tooltip": "huenet is the trained network."}),
                "closeness": number(closeness, 1.0, "For huenet: 0 like a photograph, 1 as near the target as may be."),
                "strength": number(1.0, 2.0, "How far hue turns: 0 not at all, above 1 further."),
                "keep": (list(KEEP), {"default": "light", "tooltip": "What stays while hue turns; not for reinhard."}),
                "saturation": number(0.0, 1.0, "How far saturation goes to the target's; not for reinhard."),
                "light": number(0.0, 1.0, "How far light goes to the target's; not for reinhard."),
                "smooth": number(8.0, 256.0, "For transport and relaxed: more keeps near hues together."),
                "reg_m": number(
                    0.1, 1.0, "For relaxed: what other shares of colours cost; less turns hues less far.", 0.01
                ),
                "run": (
                    "STRING",
                    {"default": "", "tooltip": "For huenet: a run folder of huenet train; none for its own."},
                ),
            },
            "optional": {"mask": ("MASK", {"tooltip": "Where to recolour; all over without."})},
        }

    def transfer(self, image, target, mask=None, **options):
        method = options.pop("method")
        known = METHODS[method].options()
        options = {name: value for name, value in options.items() if name in known and value != ""}
        image = image.detach()
        rgb, alpha = image[..., :3].clamp(0, 1), image[..., 3:]
        target = target[..., :3].clamp(0, 1)
        if len(target) > 1:  # as many as there are images: the last goes on, as everywhere in ComfyUI
            target = target[torch.arange(len(rgb)).clamp(max=len(target) - 1)]
        if mask is not None:
            mask = _fitted(mask, rgb)
        with warnings.catch_warnings():  # of images without colour, which stay as they are
            warnings.simplefilter("ignore", UserWarning)
            made = huenet.recolor(rgb.movedim(-1, 1), target.movedim(-1, 1), method=method, mask=mask, **options)
        return (torch.cat([made.movedim(1, -1), alpha], dim=-1),)


def _fitted(mask, image):
    """A mask of any size and number for images (B, H, W, 3)."""
    mask = mask.reshape(-1, *mask.shape[-2:]).to(image).clamp(0, 1)
    if mask.shape[1:] != image.shape[1:3]:
        mask = F.interpolate(mask[:, None], size=image.shape[1:3], mode="bilinear")[:, 0]
    return mask[torch.arange(len(image)).clamp(max=len(mask) - 1)]


NODE_CLASS_MAPPINGS = {"HuenetTransfer": HuenetTransfer}
NODE_DISPLAY_NAME_MAPPINGS = {"HuenetTransfer": "Colour Transfer (huenet)"}
