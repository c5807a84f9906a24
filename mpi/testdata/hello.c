// An MPI program of before: prints who it is, on rank 0 the sum of all ranks' squares. With an argument, rank 1 exits with it.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
	int rank, size, square, sum = 0;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	square = rank * rank;
	MPI_Reduce(&square, &sum, 1, MPI_INT, MPI_SUM, 0, MPI_COMM_WORLD);
	fprintf(stderr, "hello from %d of %d\n", rank, size);
	if (rank == 0)
		printf("sum %d\n", sum);
	MPI_Finalize();
	return argc > 1 && rank == 1 ? atoi(argv[1]) : 0;
}
