import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.StringJoiner;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.retry.ExponentialBackoffRetry;

/** Does Curator's part of the work that stores.py measures; see measured.py for the talk. */
public final class CuratorDriver {
    private static final int WARM_UP = 100;

    private final String hosts;
    private final CuratorFramework client;
    private final InterProcessMutex same;

    private CuratorDriver(String hosts) throws Exception {
        this.hosts = hosts;
        client = started(hosts);
        // Persistent, not containers, which the server takes away while they are empty.
        for (String name : List.of("first", "again", "semaphore", "contended")) {
            client.create().orSetData().creatingParentsIfNeeded().forPath("/bench/curator/" + name);
        }
        same = new InterProcessMutex(client, "/bench/curator/again");
    }

    public static void main(String[] arguments) throws Exception {
        CuratorDriver driver = new CuratorDriver(arguments[0]);
        System.out.println("\"ready\"");
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] words = line.trim().split(" ");
            int count = Integer.parseInt(words[1]);
            switch (words[0]) {
                case "first" -> System.out.println(each(count, driver::first));
                case "again" -> System.out.println(each(count, driver::again));
                case "semaphore" -> System.out.println(each(count, driver::semaphore));
                case "hand_overs" -> System.out.println(driver.handOvers(count, Integer.parseInt(words[2])));
                default -> throw new IllegalArgumentException("no work " + words[0]);
            }
        }
        // Curator's threads would keep the process.
        System.exit(0);
    }

    /** A free lock, by an object that never had it. */
    private Void first() throws Exception {
        InterProcessMutex lock = new InterProcessMutex(client, "/bench/curator/first");
        lock.acquire();
        lock.release();
        return null;
    }

    /** A free lock, by the object that had it last. */
    private Void again() throws Exception {
        same.acquire();
        same.release();
        return null;
    }

    /** A free semaphore, by an object that never had it. */
    private Void semaphore() throws Exception {
        InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, "/bench/curator/semaphore", 4);
        Lease lease = semaphore.acquire();
        semaphore.returnLease(lease);
        return null;
    }

    /** Hand-overs of one lock per second; every contender is a thread with its own session. */
    private double handOvers(int count, int contenders) throws Exception {
        List<CuratorFramework> clients = new ArrayList<>();
        for (int index = 0; index < contenders; index++) {
            clients.add(started(hosts));
        }
        Counter counter = new Counter(count);
        List<Thread> threads = new ArrayList<>();
        for (CuratorFramework contender : clients) {
            Thread thread = new Thread(() -> contend(contender, counter));
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        clients.forEach(CuratorFramework::close);
        return counter.rate();
    }

    private static void contend(CuratorFramework client, Counter counter) {
        InterProcessMutex lock = new InterProcessMutex(client, "/bench/curator/contended");
        try {
            for (boolean more = true; more; ) {
                lock.acquire();
                more = counter.grant();
                lock.release();
            }
        } catch (Exception error) {
            error.printStackTrace();
            System.exit(1);
        }
    }

    private static CuratorFramework started(String hosts) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(hosts, new ExponentialBackoffRetry(1000, 3));
        client.start();
        if (!client.blockUntilConnected(30, TimeUnit.SECONDS)) {
            throw new IllegalStateException("no connection to " + hosts + " within 30 s");
        }
        return client;
    }

    /** The seconds that each of `count` runs took, as a JSON list. */
    private static String each(int count, Callable<Void> cycle) throws Exception {
        StringJoiner times = new StringJoiner(", ", "[", "]");
        for (int index = 0; index < count; index++) {
            long began = System.nanoTime();
            cycle.call();
            times.add(Double.toString((System.nanoTime() - began) / 1e9));
        }
        return times.toString();
    }

    /** Counts grants while the lock is held, and takes the time of the counted ones. */
    private static final class Counter {
        private final int count;
        private int grants;
        private long began;
        private long ended;

        Counter(int count) {
            this.count = count;
        }

        /** Counts a grant; false once nobody need ask again. */
        synchronized boolean grant() {
            grants++;
            if (grants == WARM_UP) {
                began = System.nanoTime();
            } else if (grants == WARM_UP + count) {
                ended = System.nanoTime();
            }
            return grants < WARM_UP + count;
        }

        double rate() {
            return count / ((ended - began) / 1e9);
        }
    }
}
