"""Networks of Keras' own layers, with the names that torchvision and timm give their parts."""
