"""Matrix products: the BLAS, our own packed ones, packing, quantisation, the choice among them. Unchecked inside."""
