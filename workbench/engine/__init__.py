"""Plan a sweep as a tree of stages, run it on workers, record what comes out."""
