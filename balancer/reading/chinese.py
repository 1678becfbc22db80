"""Chinese names in logs, traditional and simplified, in the English words that loss names are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_ENGLISH: Final[Mapping[str, str]] = {
    chinese: english
    for english, names in {
        "discriminator": "判別器 判别器 鑑別器 鉴别器 辨別器 辨别器 判別網路 判别网络 鑑別網路 鉴别网络 評論家 评论家",
        "generator": "生成器 產生器 产生器 生成網路 生成网络",
        "loss": "損失函數 损失函数 損失值 损失值 損失 损失 誤差 误差",
        "adversarial": "對抗 对抗",
        "real": "真實 真实 真樣本 真样本 真圖 真图 真",
        "fake": "虛假 虚假 偽造 伪造 假樣本 假样本 假圖 假图 偽 伪 假",
        "total": "總計 总计 總 总",
        "accuracy": "準確率 准确率 準確度 准确度 正確率 正确率",
        "lr": "學習率 学习率 學習速率 学习速率",
        "rec": "重建 重構 重构",
        "perceptual": "感知",
        "fm": "特徵匹配 特征匹配",
        "category": "類別 类别 分類 分类",
        "cycle": "循環一致性 循环一致性 循環一致 循环一致 循環 循环",
        "identity": "恆等 恒等 身份",
        "pixel": "像素",
        "style": "風格 风格",
        "content": "內容 内容",
        "const": "常數 常数 一致性",
        "weight": "權重 权重",
        "global step": "全域步數 全局步数 全局步數 總步數 总步数",
        "step": "步數 步数 步驟 步骤 步",
        "iteration": "迭代次數 迭代次数 疊代次數 迭代 疊代",
        "epoch": "輪次 轮次 輪數 轮数 回合 週期 周期 世代 時期 輪 轮",
        "batch": "批次",
        "train": "訓練 训练",
        "avg": "平均 均值 當前 当前 目前",
        "val": "驗證 验证 測試 测试 評估 评估",
        "grad": "梯度",
        "norm": "範數 范数",
        "time": "時間 时间 耗時 耗时 用時 用时 剩餘 剩余",
        "best": "最佳 最好",
        "": "的",
    }.items()
    for chinese in names.split()
}
# The longest first, so that a name is not taken for the shorter one in it.
_TERMS: Final = re.compile("|".join(sorted(_ENGLISH, key=lambda term: (-len(term), term))))
# A number within its counter, such as 第 3 輪 and 第 3/100 輪.
_COUNTED: Final = re.compile(
    r"第[ \t]{0,4}+(\d{1,12}+(?:[ \t]{0,4}+/[ \t]{0,4}+\d{1,12}+)?+)[ \t]{0,4}+次?[個个]?[ \t]{0,4}+"
    rf"({_TERMS.pattern}|epoch|step|iteration|iter|batch)",
    re.IGNORECASE,
)


def in_english(text: str) -> str:
    """Text with the known Chinese words in English, and numbers behind their counters."""
    if text.isascii():
        return text
    text = _COUNTED.sub(lambda match: f" {_ENGLISH.get(match[2], match[2])} {match[1]} ", text)
    return _TERMS.sub(lambda match: f" {_ENGLISH[match[0]]} ", text)
