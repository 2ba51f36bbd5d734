"""The language model seam: the one place where a model is called, and the ways to reach one."""
