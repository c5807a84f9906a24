// An MPI program of before: prints who it is, on rank 0 the sum of all ranks' squares. With an argument, rank 1 exits with it.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
	// Debian's MPICH 4.0.2 may hang in MPI_Finalize over TCP while connections are still being made.
	int all[64] = {0};
	if (size <= 64)
		MPI_Alltoall(MPI_IN_PLACE, 0, MPI_INT, all, 1, MPI_INT, MPI_COMM_WORLD);
	usleep(200000);
	MPI_Finalize();
	return argc > 1 && rank == 1 ? atoi(argv[1]) : 0;
}
