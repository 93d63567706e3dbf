"""Uses of stored vectors beyond search: labels, clusters, maps, statistics, evaluation."""
