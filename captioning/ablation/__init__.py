"""Step 6: encoders compared by the captions that come of them."""
