"""A collection as a set of data: quality of pictures, balance of classes, what one collection lacks beside another."""
