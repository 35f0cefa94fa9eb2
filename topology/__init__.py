"""A world to see it in: containerlab files, a namespace runtime, images and labs."""
