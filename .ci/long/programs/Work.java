import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;

/** Threads that fill the heap, and a loop that is compiled. */
public class Work {
    public static void main(String[] arguments) throws Exception {
        var pool = Executors.newFixedThreadPool(4);
        List<java.util.concurrent.Future<Long>> results = new ArrayList<>();
        for (int thread = 0; thread < 4; thread++) {
            results.add(pool.submit(() -> {
                long sum = 0;
                for (int round = 0; round < 30; round++) {
                    Map<Integer, byte[]> map = new java.util.HashMap<>();
                    IntStream.range(0, 500).forEach(key -> map.put(key, new byte[1024]));
                    sum += map.values().stream().mapToLong(bytes -> bytes.length).sum();
                }
                return sum;
            }));
        }
        long total = 0;
        for (var result : results) total += result.get();
        pool.shutdown();
        System.out.println(total);
    }
}
