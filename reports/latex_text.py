"""Text that LaTeX prints as it is, in a document that loads nothing for it."""

import re
import unicodedata

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "§": r"\S{}",
    "•": r"$\bullet$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "©": r"\copyright{}",
    "£": r"\pounds{}",
    "¶": r"\P{}",
    "⁄": "/",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
}

MATH = {
    "±": r"\pm", "×": r"\times", "÷": r"\div", "·": r"\cdot", "≈": r"\approx", "≤": r"\leq", "≥": r"\geq",
    "≠": r"\neq", "∞": r"\infty", "→": r"\rightarrow", "←": r"\leftarrow", "↑": r"\uparrow", "↓": r"\downarrow",
    "⇒": r"\Rightarrow", "√": r"\surd", "∼": r"\sim", "∈": r"\in", "†": r"\dagger", "‡": r"\ddagger",
    "°": r"^{\circ}", "✓": r"\surd", "Δ": r"\Delta", "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta",
    "ε": r"\epsilon", "η": r"\eta", "θ": r"\theta", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "π": r"\pi",
    "ρ": r"\rho", "σ": r"\sigma", "τ": r"\tau", "φ": r"\phi", "χ": r"\chi", "ψ": r"\psi", "ω": r"\omega",
    "Σ": r"\Sigma", "Ω": r"\Omega",
}  # fmt: skip

RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
POWERS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0307": ".", "\u0308": '"',
           "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"}  # fmt: skip


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; a character that no plain document has is named by its code."""
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    text = re.sub(r"(?<![\w)\]-])-(?=\d)", "−", text)  # a minus, not a hyphen
    text = re.sub(r"(?<=10)\^([0-9]+)", lambda power: power[1].translate(POWERS), text)
    text = re.sub(r'(?<![^\s(\[])"(?=\w)', "“", text)  # a quotation begins
    pieces = [_character(letter) for letter in text]
    for at, letter in enumerate(text[1:], 1):
        if letter == text[at - 1] and letter in "-'`":  # two hyphens would be a dash, two quotes one
            pieces[at] = "{}" + pieces[at]
    return "".join(pieces)


def _character(letter: str) -> str:
    if letter in SPECIAL:
        return SPECIAL[letter]
    if letter in MATH:
        return f"${MATH[letter]}$"
    if letter.translate(RAISED) != letter:
        return rf"\textsuperscript{{{letter.translate(RAISED)}}}"
    if letter.translate(LOWERED) != letter:
        return rf"$_{{{letter.translate(LOWERED)}}}$"
    if letter.isascii() and letter.isprintable():
        return letter
    compatible = unicodedata.normalize("NFKC", letter)  # the micro sign is a mu
    if compatible != letter:
        return escape(compatible)
    plain, *accents = list(unicodedata.normalize("NFD", letter))
    if plain.isascii() and len(accents) == 1 and accents[0] in ACCENTS:
        return rf"\{ACCENTS[accents[0]]}{{{plain}}}"
    return rf"[U+{ord(letter):04X}]\allowbreak{{}}"
