// The same as main.go, in C.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *t, int n) {
	qsort(t, n, sizeof *t, ascending);
	return t[n / 2];
}

static void pingpong(int rank) {
	enum { batches = 41, trips = 1000 };
	double t[batches], v = 1;
	for (int b = 0; b < batches; b++) {
		double start = MPI_Wtime();
		for (int i = 0; i < trips; i++) {
			if (rank == 0) {
				MPI_Send(&v, 1, MPI_DOUBLE, 1, 0, MPI_COMM_WORLD);
				MPI_Recv(&v, 1, MPI_DOUBLE, 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
			} else {
				MPI_Recv(&v, 1, MPI_DOUBLE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
				MPI_Send(&v, 1, MPI_DOUBLE, 0, 0, MPI_COMM_WORLD);
			}
		}
		t[b] = (MPI_Wtime() - start) / trips / 2 * 1e6;
	}
	if (rank == 0)
		printf("{\"us\": %g}\n", median(t, batches));
}

static void allreduce(int rank, int n) {
	enum { reps = 11 };
	double t[reps], *send = malloc(n * sizeof *send), *recv = malloc(n * sizeof *recv);
	for (int i = 0; i < n; i++)
		send[i] = i % 1000, recv[i] = 0;
	for (int r = -2; r < reps; r++) {
		MPI_Barrier(MPI_COMM_WORLD);
		double start = MPI_Wtime();
		MPI_Allreduce(send, recv, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
		if (r >= 0)
			t[r] = MPI_Wtime() - start;
	}
	if (rank == 0)
		printf("{\"seconds\": %g}\n", median(t, reps));
}

int main(int argc, char **argv) {
	int rank;
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	if (argc > 1 && !strcmp(argv[1], "pingpong"))
		pingpong(rank);
	if (argc > 2 && !strcmp(argv[1], "allreduce"))
		allreduce(rank, atoi(argv[2]));
	MPI_Finalize();
	return 0;
}
