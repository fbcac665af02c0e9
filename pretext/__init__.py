"""What both pretext tasks share: the network, photographs, the encoder file, and how encoders are judged."""
