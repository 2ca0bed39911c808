// Builder.java - the JVM's ProcessBuilder, a reaper thread a child.
// See ../README.md.
import java.io.FileWriter;
import java.io.FileInputStream;
import java.util.ArrayList;

public class Builder {
    static void write(String name, String words, boolean append) throws Exception {
        try (FileWriter to = new FileWriter(System.getenv(name), append)) {
            to.write(words);
        }
    }

    static Process start(String... words) throws Exception {
        ArrayList<String> command = new ArrayList<>();
        command.add(System.getenv("XLHOST_CHILD"));
        command.addAll(java.util.List.of(words));
        return new ProcessBuilder(command).start();
    }

    public static void main(String[] args) throws Exception {
        start("exit", "0").waitFor();
        write("XLHOST_GO", "go\n", true);
        ArrayList<Process> children = new ArrayList<>();
        for (int i = 0; i < 50; i++)
            children.add(start("sleep-ms", "" + i % 16, "exit", "" + (101 + i)));
        for (int i = 0; i < 50; i++)
            write("XLHOST_RESULT", i + " " + children.get(i).waitFor() + "\n", true);
        write("XLHOST_GO", "done\n", true);
        try (FileInputStream end = new FileInputStream(System.getenv("XLHOST_END"))) {
            end.read();
        }
    }
}
