import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Eight threads fill tables until the garbage collector has work. */
public class Pool {
    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Callable<Integer>> jobs = new ArrayList<>();
        for (int i = 0; i < 32; i++) {
            final int seed = i;
            jobs.add(() -> {
                Map<Integer, byte[]> table = new HashMap<>();
                for (int j = 0; j < 2000; j++) {
                    table.put(j % 200, new byte[(seed + j) % 2000]);
                }
                return table.size();
            });
        }
        int sum = 0;
        for (Future<Integer> job : pool.invokeAll(jobs)) {
            sum += job.get();
        }
        pool.shutdown();
        System.out.println(sum + " entries");
    }
}
