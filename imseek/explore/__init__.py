"""What stored vectors are good for beyond search: labels, clusters, maps, statistics, evaluation."""
