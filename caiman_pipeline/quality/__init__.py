"""Quality measures of components and the rule that accepts or rejects them."""
