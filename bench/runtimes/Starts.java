// Starts.java - children by the JVM's ProcessBuilder, a thread each
//
// Called by bench/run.py; see README.md for the options.
import java.io.File;
import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

final class Starts {
    private static final Map<String, String> OPTIONS = new HashMap<>();

    private static int number(String name, int otherwise) {
        String text = OPTIONS.get(name);
        return text == null ? otherwise : Integer.parseInt(text);
    }

    private static void one() {
        ProcessBuilder builder = new ProcessBuilder(OPTIONS.get("--child"));
        builder.redirectInput(ProcessBuilder.Redirect.INHERIT);
        builder.redirectOutput(new File("/dev/null"));
        builder.redirectError(ProcessBuilder.Redirect.INHERIT);
        try {
            int status = builder.start().waitFor();
            if (status != 0)
                throw new IllegalStateException("a child ended with " + status);
        } catch (Exception why) {
            System.err.println("Starts.java: " + why);
            System.exit(2);
        }
    }

    /** Until so many are started or the time is over (0: none); how many. */
    private static int run(int children, long until) throws Exception {
        AtomicInteger tickets = new AtomicInteger();
        AtomicInteger reaped = new AtomicInteger();
        Thread[] threads = new Thread[number("--concurrency", 16)];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = new Thread(() -> {
                while (tickets.incrementAndGet() <= children
                       && (until == 0 || System.nanoTime() < until)) {
                    one();
                    reaped.incrementAndGet();
                }
            });
            threads[i].start();
        }
        for (Thread thread : threads)
            thread.join();
        return reaped.get();
    }

    /** Of this process's threads, in ns. */
    private static long processor() {
        return ((com.sun.management.OperatingSystemMXBean)
                ManagementFactory.getOperatingSystemMXBean())
            .getProcessCpuTime();
    }

    public static void main(String[] words) throws Exception {
        for (int i = 0; i + 1 < words.length; i += 2)
            OPTIONS.put(words[i], words[i + 1]);
        run(number("--warmup", 50), 0);
        long limit = number("--for-ms", 0) * 1000000L;
        long before = processor();
        long begin = System.nanoTime();
        int reaped = run(number("--children", 1000),
                         limit > 0 ? begin + limit : 0);
        double wall = (System.nanoTime() - begin) / 1e3;
        System.out.printf(Locale.ROOT,
            "{\"peer\": \"jvm\", \"version\": \"%s\", \"reaped\": %d, "
            + "\"us_per_child\": %.3f, \"cpu_us\": %.3f}%n",
            Runtime.version().feature(), reaped, wall / reaped,
            (processor() - before) / 1e3 / reaped);
    }
}
