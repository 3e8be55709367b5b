import java.net.URL;

/** Requests ADDRESS TIMES THREADS: so many requests in each of so many threads. */
public class Requests {
    public static void main(String[] words) throws Exception {
        var threads = new Thread[Integer.parseInt(words[2])];
        for (int n = 0; n < threads.length; n++) {
            threads[n] = new Thread(() -> ask(words[0], Integer.parseInt(words[1])));
            threads[n].start();
        }
        for (var thread : threads) {
            thread.join();
        }
    }

    private static void ask(String address, int times) {
        try {
            for (int n = 0; n < times; n++) {
                try (var in = new URL(address).openStream()) {
                    if (in.readAllBytes().length != 2900) {
                        System.exit(1);
                    }
                }
            }
        } catch (java.io.IOException error) {
            System.err.println(error);
            System.exit(1);
        }
    }
}
