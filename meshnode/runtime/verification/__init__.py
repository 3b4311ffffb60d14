"""Independent checks of stores and exports, for anybody, offline."""
