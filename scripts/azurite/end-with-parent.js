// Loaded before Azurite: ends it when whoever started it closes its standard input, or dies.
process.stdin.on('close', () => process.exit()).resume();
