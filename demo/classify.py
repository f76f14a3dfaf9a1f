"""Load a downloaded artifact with plain transformers and classify a few sentences.

Run as a script in a process of its own; it imports nothing of this project.
"""

import os
import sys

SENTENCES = (
    "Thank you so much, the crew on this flight was amazing!",
    "Worst customer service I have ever had.",
    "The company will publish its results on Thursday.",
    "I can't wait to try the new phone :)",
)


def main(folder: str) -> None:
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    model.eval()
    batch = tokenizer(list(SENTENCES), return_tensors="pt", padding=True)
    with torch.no_grad():
        probabilities = model(**batch).logits.softmax(-1)
    print(f"{type(model).__name__}, {model.num_parameters():,} parameters")
    for sentence, row in zip(SENTENCES, probabilities, strict=True):
        best = int(row.argmax())
        print(f"  {model.config.id2label[best]:<9} {row[best]:.2f}  {sentence}")


if __name__ == "__main__":
    main(sys.argv[1])
