"""Which pairs are worth a look: near hashes and near vectors, found in linear memory and kept."""
