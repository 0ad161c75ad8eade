# Done once to a Debian with the packages in: nothing runs until user-data says so.
systemctl disable etcd patroni pgbouncer haproxy postgresql prometheus prometheus-alertmanager \
    prometheus-node-exporter prometheus-postgres-exporter prometheus-pgbouncer-exporter \
    prometheus-pgbackrest-exporter nftables
systemctl mask postgresql.service systemd-networkd-wait-online.service getty@tty1.service \
    console-getty.service systemd-pstore.service
systemctl disable fstrim.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer || true

# One group reads the machine's TLS key; postgres is a member already.
for user in etcd haproxy prometheus; do usermod -aG ssl-cert "$user"; done

printf 'datasource_list: [NoCloud, Ec2, None]\n' > /etc/cloud/cloud.cfg.d/90-datasources.cfg
mkdir -p /opt/guestcomms /etc/guestcomms

# A machine made from this image is nobody yet.
rm -rf /var/lib/postgresql/17 /var/lib/etcd/* /var/log/postgresql/* /etc/ssl/private/ssl-cert-snakeoil.key
: > /etc/machine-id
