import java.io.FileOutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;

/** HDFS of one data node, and YARN of two node managers, in one process that ends when its input does. */
public final class MiniHadoop {
    private MiniHadoop() {}

    /** Writes core-site.xml and, last, yarn-site.xml into the folder args[0], once both listen; their files go there. */
    public static void main(String[] args) throws Exception {
        Path folder = Path.of(args[0]);
        Configuration conf = new YarnConfiguration();
        conf.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, folder.resolve("hdfs").toString());
        MiniDFSCluster hdfs = new MiniDFSCluster.Builder(conf).numDataNodes(1).build();
        hdfs.waitActive();
        conf.set("fs.defaultFS", hdfs.getURI().toString());
        conf.setBoolean("yarn.nodemanager.vmem-check-enabled", false);
        conf.setBoolean("yarn.nodemanager.pmem-check-enabled", false);
        conf.set("yarn.scheduler.capacity.root.queues", "default");
        conf.set("yarn.scheduler.capacity.root.default.capacity", "100");
        conf.set("yarn.scheduler.capacity.maximum-am-resource-percent", "0.5");
        conf.setInt("yarn.nodemanager.resource.memory-mb", 4096);
        conf.setInt("yarn.scheduler.minimum-allocation-mb", 256);
        conf.set("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "99.5");
        MiniYARNCluster yarn = new MiniYARNCluster("lakealbum", 2, 1, 1);
        yarn.init(conf);
        yarn.start();
        yarn.waitForNodeManagersToConnect(60_000);
        Configuration told = new Configuration(yarn.getResourceManager().getConfig());
        told.unset("net.topology.node.switch.mapping.impl"); // a class that clients lack
        for (String name : new String[] {"core-site", "yarn-site"}) { // Yarn's defaults hide what is in the first alone
            Path written = folder.resolve(name + ".tmp");
            try (FileOutputStream out = new FileOutputStream(written.toFile())) {
                told.writeXml(out);
            }
            Files.move(written, folder.resolve(name + ".xml"), StandardCopyOption.ATOMIC_MOVE);
        }
        while (System.in.read() >= 0) {
            continue;
        }
        System.exit(0);
    }
}
