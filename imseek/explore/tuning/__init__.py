"""Steps of ``imseek tune``: examples → split by content → learning with an early stop → measuring what was held out."""
