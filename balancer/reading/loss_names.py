"""The names that losses and what goes with them have in the logs of common codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Words of one meaning; those that mean nothing here are left out of a name.
WORD_MEANINGS: Final[Mapping[str, str]] = {
    word: meaning
    for meaning, words in {
        "g": "g gen generator netg gnet",
        "d": "d dis disc discr discrim discriminator discriminators netd dnet critic",
        "loss": "loss losses err error cost l",
        "adv": "adv adversarial gan cheat hinge",
        "total": "total all sum full overall",
        "real": "real",
        "fake": "fake generated",
        "acc": "acc accuracy",
        "logit": "logit logits score scores",
        "lambda": "lambda lam weight",
        "rec": "rec recon recons reconstruction",
        "perceptual": "perceptual percep perc vgg lpips per",
        "fm": "fm feat feature featurematching matching match",
        "const": "const constant",
        "category": "category cat cls",
        "cycle": "cycle cyc",
        "idt": "idt identity",
        "pixel": "pixel pix",
        "": "net train training trn metric metrics scalar scalars avg average mean running step epoch batch iter log "
        "stats",
    }.items()
    for word in words.split()
}

# Words around a learning rate that do not say whose it is.
BESIDE_RATES: Final = frozenset(
    {"current", "cur", "now", "adam", "adamw", "sgd", "rmsprop", "optimizer", "optim", "opt"}
)

# Names that are never guessed: of validation, and figures about losses that are not losses.
NEVER: Final = frozenset(
    {
        "val",
        "valid",
        "validation",
        "eval",
        "evaluation",
        "test",
        "dev",
        "grad",
        "grads",
        "gradient",
        "norm",
        "time",
        "std",
        "var",
        "min",
        "max",
        "num",
        "count",
        "ema",
        "fid",
        "kid",
        "best",
        "speed",
        "eta",
        "memory",
        "mem",
        "sec",
        "seconds",
        "band",
    }
)
# Measures of how good pictures or sounds are: terms of a loss only where that word stands with them.
MEASURES: Final = frozenset({"ssim", "msssim", "psnr", "lpips", "iou", "miou", "dice", "pesq", "stoi"})
# Names that follow no rule.
EXACT: Final[Mapping[str, str | None]] = {
    # The DCGAN example of PyTorch: D's mean probabilities; the third, after D's update, is not read.
    "D(x)": "d_prob_real",
    "D(G(z))": "d_prob_fake",
    "D_x": "d_prob_real",
    "D_G_z1": "d_prob_fake",
    "D_G_z2": None,
    # StyleGAN: the mean sign of D's outputs.
    "signs/real": "d_sign_real",
    "signs/fake": "d_sign_fake",
    # MMGeneration and MMagic: D's loss of generated images, as G sees it.
    "loss_disc_fake_g": "adv",
    # BasicSR: D's mean logits; its pixel loss is L1 unless a config says otherwise.
    "out_d_real": "d_logit_real",
    "out_d_fake": "d_logit_fake",
    "l_g_pix": "l1",
}
TRAINING: Final = frozenset({"train", "training", "trn"})

# Signal: its names, best first. "loss?" may be missing. A name of one word counts only where nothing else stands there.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "d_loss": ("d loss", "d total loss?", "d", "d adv loss?", "d a loss?"),
    "d_loss_real": ("d real loss?", "real loss", "d adv real loss?"),
    "d_loss_fake": ("d fake loss?", "fake loss", "d adv fake loss?"),
    "d_category": ("d category loss?",),
    "d_acc": ("d acc",),
    "d_acc_real": ("d acc real", "acc real"),
    "d_acc_fake": ("d acc fake", "acc fake"),
    "d_gp": ("d gp loss?", "gp", "gp loss", "d r1 loss?", "r1", "r1 loss", "r1 penalty", "d r1 penalty"),
    "d_logit_real": ("d logit real", "logit real"),
    "d_logit_fake": ("d logit fake", "logit fake"),
    "g_loss": ("g loss", "g total loss?", "g"),
    "adv": ("adv loss", "g adv loss?", "adv", "g a loss?", "g a adv loss?", "g fake loss?"),
    "lr": ("lr",),
    "lr_d": ("d lr",),
    "lr_g": ("g lr",),
}

# G's further terms are signals of their own names; with "loss" or "g" beside them, or alone.
TERMS: Final[Mapping[str, tuple[str, ...]]] = {
    "l1": ("l1", "pixel l1", "rec l1", "adv l1"),
    "l2": ("l2", "mse"),
    "const": ("const",),
    "category": ("category",),
    "tv": ("tv",),
    "perceptual": ("perceptual",),
    "rec": ("rec",),
    "mel": ("mel", "mel spec", "mel l1"),
    "fm": ("fm", "adv fm"),
    "nll": ("nll",),
    "kl": ("kl",),
    "cycle": ("cycle", "cycle a"),
    "idt": ("idt", "idt a"),
    "dur": ("dur",),
    "pixel": ("pixel",),
}
# Words of other meaning elsewhere: terms only beside "loss" or "g".
BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "l1": ("l1 spec",),
    "style": ("style",),
    "content": ("content",),
    "perceptual": ("p",),
    "skeleton": ("skeleton",),
    "edge": ("edge",),
    "ssim": ("ssim", "ms ssim", "msssim"),
}

# Steps and epochs, best first.
STEP_NAMES: Final = (
    "global_step",
    "global_steps",
    "global_iter",
    "step",
    "steps",
    "iteration",
    "iterations",
    "iter",
    "iters",
    "itr",
    "it",
    "update",
    "updates",
    "cur_step",
    "current_step",
    "current_steps",
    "cur_iter",
    "current_iter",
    "n_iter",
    "batch",
    "kimg",
)
EPOCH_NAMES: Final = ("epoch", "epochs", "current_epoch", "ep")
