package codec

func init() { paranoid = true }

// BlockMin is the size from which memory travels as a block.
const BlockMin = blockMin
